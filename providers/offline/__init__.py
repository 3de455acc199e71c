"""The provider that needs no key and no network: rules, no language model, and honest about it."""
