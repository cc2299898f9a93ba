"""What reads a topic in common: consumer groups of Kafka and of Redis whose position is committed by hand, through FastStream."""
