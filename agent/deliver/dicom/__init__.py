"""Results as DICOM objects. Pure: a stored result in, data sets out; no file, store or network."""
