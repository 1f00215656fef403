"""Rights: what a file says of its use, what a policy makes of it, and the record of both."""
