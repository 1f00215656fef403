"""What is in generated clips, and how good it is: independent of the training code."""
