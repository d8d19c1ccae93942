# Makes lines of text string literals of C.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
