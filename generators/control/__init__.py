"""Control flow in generated graphs: operators whose arguments are bodies, grown like the graphs around them."""
