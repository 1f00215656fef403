"""The HTTP interface: the OpenAI Videos API as its SDK sends and reads it, and a few routes of our own beside it."""
