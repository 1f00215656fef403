"""What files and their surroundings say about training: one reader a signal, nothing fetched, nothing guessed."""
