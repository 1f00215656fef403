"""Two loops, each readable top to bottom: vae.py trains the codec, dit.py the transformer."""
