/** A firewall program for the `command` driver, as an administrator could write one: sh over nft sets. Sessions are let go on. */

export const COMMAND_PROGRAM = `#!/bin/sh
set -eu
table="inet mydoors"

# The set of a kind for the family of a source.
of() { case $2 in *:*) echo "$1-6" ;; *) echo "$1-4" ;; esac; }
put() { nft add element $table "$1" "{ $2 }"; }
take() { nft get element $table "$1" "{ $2 }" >/dev/null 2>&1 || return 0; nft delete element $table "$1" "{ $2 }"; }
sets() { nft list table $table 2>/dev/null | sed -n 's/^[[:space:]]*set \\([^ ]*\\) {$/\\1/p'; }
elements() {
  { nft list set $table "$1" | tr -d '\\n'; echo; } | sed -n 's/.*elements = {\\([^}]*\\)}.*/\\1/p' | tr ',' '\\n' | tr -d ' \\t'
}

make_sets() {
  echo "add set $table $1-4 { type ipv4_addr; flags interval; }"
  echo "add set $table $1-6 { type ipv6_addr; flags interval; }"
}

install() {
  rules=$(mktemp -d)
  trap 'rm -r "$rules"' EXIT
  read -r head
  case $head in *'"observe":true'*) observe=yes ;; *) observe=no ;; esac
  case $head in *'"face":"reset"'*) tcp='reject with tcp reset' udp=reject ;; *) tcp=drop udp=drop ;; esac
  : > "$rules/trusted"; : > "$rules/grants"; : > "$rules/closed"; : > "$rules/sets"
  make_sets ban >> "$rules/sets"
  make_sets allow >> "$rules/sets"
  wanted=' ban-4 ban-6 allow-4 allow-6 '
  while read -r line; do
    case $line in
      '{"trusted":'*)
        block=$(echo "$line" | cut -d'"' -f4)
        case $block in *:*) ip=ip6 ;; *) ip=ip ;; esac
        echo "add rule $table closed $ip saddr $block accept" >> "$rules/trusted" ;;
      '{"door":'*)
        door=$(echo "$line" | cut -d'"' -f4)
        make_sets "door-$door" >> "$rules/sets"
        wanted="$wanted door-$door-4 door-$door-6 "
        for range in $(echo "$line" | sed 's/.*"protect":\\[\\([^]]*\\)\\].*/\\1/' | tr -d '"' | tr , ' '); do
          protocol=\${range%%/*} ports=\${range#*/}
          echo "add rule $table closed $protocol dport $ports ip saddr @door-$door-4 accept" >> "$rules/grants"
          echo "add rule $table closed $protocol dport $ports ip6 saddr @door-$door-6 accept" >> "$rules/grants"
          eval "verdict=\\$$protocol"
          echo "add rule $table closed $protocol dport $ports $verdict" >> "$rules/closed"
        done ;;
    esac
  done
  {
    echo "add table $table"
    echo "add chain $table closed { type filter hook prerouting priority mangle; }"
    echo "flush chain $table closed"
    cat "$rules/sets"
    if [ $observe = no ]; then
      echo "add rule $table closed iif lo accept"
      echo "add rule $table closed ip saddr @allow-4 accept"
      echo "add rule $table closed ip6 saddr @allow-6 accept"
      cat "$rules/trusted"
      echo "add rule $table closed ip saddr @ban-4 drop"
      echo "add rule $table closed ip6 saddr @ban-6 drop"
      # Sessions that are older than conntrack's first rule are new to it.
      echo "add rule $table closed ct state established,related accept"
      echo "add rule $table closed tcp flags & (fin|syn|rst|ack) != syn accept"
      cat "$rules/grants" "$rules/closed"
    fi
    for set in $(sets); do case $wanted in *" $set "*) ;; *) echo "delete set $table $set" ;; esac; done
  } > "$rules/all"
  nft -f "$rules/all"
}

list() {
  [ -z "$(sets)" ] || echo guard
  for set in $(sets); do
    kind=\${set%-[46]}
    case $kind in door-*) kind="grant \${kind#door-}" ;; esac
    elements "$set" | sed "s/^/$kind /"
  done
}

case $1 in
  install) install ;;
  open) put "$(of "door-$2" "$3")" "$3" ;;
  close) take "$(of "door-$2" "$3")" "$3" ;;
  ban|allow) put "$(of "$1" "$2")" "$2" ;;
  unban|disallow) kind=\${1#un}; take "$(of "\${kind#dis}" "$2")" "$2" ;;
  list) list ;;
  remove) [ -z "$(sets)" ] || nft delete table $table ;;
  *) echo "no operation $1" >&2; exit 2 ;;
esac
`;
