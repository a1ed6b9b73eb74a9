"""Routes that exist for the tests of the web server alone."""
