"""The console in Firefox, which a kiosk may run; everything else is tried in Chromium."""
