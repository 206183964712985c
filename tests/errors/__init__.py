"""What each cause is called, says and advises; what the error of a call keeps."""
