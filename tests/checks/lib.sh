# shellcheck shell=bash
# What the checks share. Bash, and an awk that knows no more than POSIX.
set -euo pipefail

offences=0

# offence TEXT...: note one
offence()
{
  echo "$*"
  offences=$((offences + 1))
}

# conclude: the exit status of a check
conclude()
{
  if [ "$offences" -gt 0 ]; then
    echo "$0: $offences found" >&2
    exit 1
  fi
  exit 0
}

# code FILE...: "FILE:LINE: text" for each line, with comments, and what is inside of strings, blanked
# out. Names of included files stay.
code()
{
  awk '
    FNR == 1 { comment = 0 }
    {
      line = $0; out = ""
      include = !comment && line ~ /^[ \t]*#[ \t]*include/
      while (line != "") {
        if (comment) {
          at = index(line, "*/")
          if (at == 0) break
          comment = 0; out = out " "; line = substr(line, at + 2)
        } else if (match(line, include ? "/[*/]" : "/[*/]|[\"\047]")) {
          out = out substr(line, 1, RSTART - 1)
          mark = substr(line, RSTART, 1); next_mark = substr(line, RSTART + 1, 1)
          line = substr(line, RSTART + RLENGTH)
          if (mark == "/" && next_mark == "/") break
          if (mark == "/") comment = 1
          else {
            while (line != "" && substr(line, 1, 1) != mark)
              line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
            line = substr(line, 2); out = out mark mark
          }
        } else { out = out line; break }
      }
      print FILENAME ":" FNR ": " out
    }' "$@" /dev/null
}

# sources DIR...: the C files of these directories
sources()
{
  find "$@" -name '*.[ch]' -type f | LC_ALL=C sort
}
