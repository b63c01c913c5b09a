#!/bin/sh
# The command that pytesseract runs. pytesseract keeps one command for the whole process, but each
# call has its own limits and folder: they stand in the script that lies beside its list of pages.
case "$1" in
    --version) echo "tesseract 5.0.0" ;; # pytesseract asks for 3.05; the engine itself is asked elsewhere
    *) exec /bin/sh "${1%/*}/command.sh" "$@" ;;
esac
