"""From a finding to the text of an issue for the project that is to mend it. Nothing here files anything."""
