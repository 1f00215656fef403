"""People look at a corpus: a sample is drawn, reviewers say what they see, and how far they agree is measured."""
