"""What tests of every member share: fixtures (a pytest plugin), clocks, fakes."""
