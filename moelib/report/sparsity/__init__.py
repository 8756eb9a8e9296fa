"""Where does sparsity pay: at which sizes is a sparse head faster than a dense one?

It may import the shared files of the report, records and study, and the chapter `accuracy`. Add a
table of sizes to `tables`, what is seen of it to `figures` and `words`; `costs` predicts latencies.
"""
