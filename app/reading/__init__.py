"""What the files of an archive or a folder mean: which of them are images, and which class and split each belongs to.

Independent readers (`folders`, `tables/`, `formats/`) look at one `Listing` and give `Reading`s; `choose` compares
them. Nothing here decodes an image or writes a file, so the import and the training package read folders by the same
rules.
"""
