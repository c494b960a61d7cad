"""The Archivist: keeps copies of the studio, proves them, and puts them back."""
