# --- what this program can be asked to do

PROGRAM = "/usr/local/lib/pgha/agent.py"

VERBS = {
    "observe": observe,
    "clear": clear,
    "erased": erased,
    "hold": hold,
    "lay": lay,
    "forget": forget,
    "write_marker": write_marker,
    "write_journal": write_journal,
    "write_given_up": write_given_up,
    "remove_journal": remove_journal,
    "drive": drive,
    "give": give,
    "take": take,
    "guard": guard,
    "admit": admit,
    "back": back,
    "give_way": give_way,
    "next_start": next_start,
    "stop": stop_member,
    "take_back": take_back,
    "settle_addresses": settle_addresses,
    "complete": complete,
    "stray": stray,
    "commits": commits,
    "keep": keep,
    "rewind": rewind,
    "cut": cut,
    "beside": beside,
    "swap": swap,
    "discard": discard,
    "give_up": give_up,
}

# Started by systemd, or by what Pacemaker's agent takes for pg_ctl, with the path of a member's description.
UNIT_VERBS = {
    "gate": gate,
    "started": started,
    "leave_record": leave_record,
    "elect": elect,
    "rep_mode": rep_mode,
    "rep_mode_standby": rep_mode_standby,
    "return_at_boot": return_at_boot,
    "keep_synchronous": keep_synchronous,
}


def main(words):
    verb = words[0] if words else "nothing"
    if verb in VERBS:
        VERBS[verb](ast.literal_eval(words[1]))
    elif verb in UNIT_VERBS:
        try:
            UNIT_VERBS[verb](words[1])
        except KeyboardInterrupt:  # how systemd ends an instance that still waits at its gate
            sys.exit(1)
    elif verb == "channel" and all(re.fullmatch("[a-z][a-z0-9-]*", word) for word in words[1:3]) and len(words) == 3:
        channel(read_member("/etc/pgha/%s/%s/member.json" % (words[1], words[2])))
    else:
        sys.exit("agent.py: found %s, expected one of its verbs." % verb)


main(sys.argv[1:])
