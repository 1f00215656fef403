"""Real footage: files and folders in, captioned clips of one canvas with a licence out."""
