"""Records of the cache in the file formats of other tools."""
