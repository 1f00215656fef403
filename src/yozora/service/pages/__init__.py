"""The pages of the service: a playground, and what an organisation has to see and to settle."""
