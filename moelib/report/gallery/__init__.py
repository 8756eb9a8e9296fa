"""Which images does each expert get?

It may import the shared files of the report, records and study, and no other chapter. Add what is
counted of images to `tables`, a fragment of HTML to `fragments`, and its caption to `words`.
"""
