"""Export of records to the file formats of other tools."""
