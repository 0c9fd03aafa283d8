"""What a run came to, as a document for machines and as tables, JUnit XML and Markdown for readers."""
