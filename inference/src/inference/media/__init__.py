"""Files in and out: decoding of voices and pictures, writing of MP4."""
