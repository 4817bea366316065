"""What nobody needs any more: left by a kill, unused, and how much room it takes."""
