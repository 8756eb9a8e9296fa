"""Does the loss rise faster around one head than around another, at finite steps?

It may import the shared files of the report, records and study, and the chapter `sharpness`. Add
what is read off the surface to `tables`, and what is seen of it to `figures` and `words`.
"""
