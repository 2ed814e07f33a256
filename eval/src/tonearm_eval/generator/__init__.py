"""Music whose tempo, beats, meter, key, chords and loudness are known exactly."""
