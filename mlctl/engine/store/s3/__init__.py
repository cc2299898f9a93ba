"""State in a bucket that speaks S3 with conditional writes."""
