"""What blocks of serving may say, one file for each part."""
