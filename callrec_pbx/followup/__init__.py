"""What is done with a recording once it is stored: encode, waveform, name."""
