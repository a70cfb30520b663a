"""What a job tells people at its end: manifests, the comparison of students, figures and the model card.

Imports every wing below; only the pipeline imports it.
"""
