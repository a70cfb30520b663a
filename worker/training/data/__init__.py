"""Images as training reads them: pools, decoded squares, views, class weights, and the cache that jobs of a host share.

Imports `engine` (for `Stopped`) and what lies below; nothing here knows a teacher or a method.
"""
