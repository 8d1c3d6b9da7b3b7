# Sourced first by the scripts. --help prints the comments at the head of the script and, for a launch script, of launch.sh.
for word; do
    case $word in -h | --help)
        printf '%s\n' "$0" "${BASH_SOURCE[1]}" | uniq | while read -r file; do
            [ "$file" = "$0" ] || echo
            sed -n '/^#!/d; /^#/!q; s/^#$//p; s/^# //p' "$file"
        done
        exit
        ;;
    esac
done
