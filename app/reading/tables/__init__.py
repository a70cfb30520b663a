"""Tables of labels: any file of rows that names images and tells a class for each.

`table` is a file as rows, `columns` what its columns mean, `rows` what its rows say, `readings` what comes of it.
"""
