#!/usr/bin/env bash
# Gets Apache Kafka from Maven Central and runs single brokers (KRaft, one process each) for tests and for people
# without Docker. Needs bash, Java 17 or later and, for the first fetch only, Maven. Not for anything but one machine: every
# listener is on 127.0.0.1.
#
# What may be relied on:
#  - `start` returns when the broker answers, or fails and leaves nothing running; any number of brokers may be started at once;
#  - a broker's whole life is in its DIR; a second `start DIR` finds data, ports and passwords there;
#  - standard output has the env lines of `start` and nothing else; passwords are in files of mode 0600 and in those lines only.
set -euo pipefail
umask 077

version=4.1.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${POTOK_KAFKA_HOME:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/potok-kafka/$version}
java_opts=${POTOK_KAFKA_JAVA_OPTS:--Xmx1g}
start_deadline=60 # seconds
stop_deadline=20  # seconds

usage() {
	cat <<EOF
Usage: kafka.sh COMMAND

  fetch            get Apache Kafka $version into the cache, unless it is there
  start DIR [--port N] [--sasl] [--set KEY=VALUE]... [--until-exit PID]
                   run a broker with its data in DIR and print how to reach it, also to DIR/env
  stop DIR         stop it as an operator would (SIGTERM; SIGKILL after $stop_deadline s)
  kill DIR         end it as a power cut would (SIGKILL)

  --port N         the clients' port; otherwise a free one is picked, and kept for the next start
  --sasl           clients come in by SASL_SSL with SCRAM-SHA-256; kept for the next start
  --set KEY=VALUE  a broker setting, over the script's own; kept for the next start
  --until-exit PID end the broker, as kill does, when that process is gone

Environment: POTOK_KAFKA_HOME is the cache directory, POTOK_KAFKA_JAVA_OPTS the broker's JVM options (default -Xmx1g).
Exit codes: 0 done, 1 failed, 2 wrong use, 69 Java or Maven is missing.
EOF
}

die() { echo "kafka.sh: $1" >&2; exit "${2:-1}"; }
wrong_use() { die "$1 (see: kafka.sh help)" 2; }

need_java() {
	command -v java >/dev/null || die "java is missing: install a Java 17 (or later) runtime" 69
	local major
	major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
	[ "${major:-0}" -ge 17 ] || die "java is too old (${major:-unknown}): Kafka $version needs Java 17 or later" 69
}

# libs is where the jars are. Its name has a checksum of the pom, so a changed pom is a new directory and no running broker
# loses its jars; it comes into being by a rename, so it is whole or not there.
libs() { echo "$home/libs-$(cksum <"$here/pom.xml" | cut -d ' ' -f 1)"; }

fetch() {
	local libs tmp
	libs=$(libs)
	[ -d "$libs" ] && return
	need_java
	command -v mvn >/dev/null || die "mvn is missing: install Maven (needed once, to fetch Kafka)" 69
	mkdir -p "$home"
	# Maven's own repository does not stand two writers everywhere: where flock exists, the second waits and finds the work done.
	exec 9>"$home/lock"
	if command -v flock >/dev/null; then flock 9; fi
	if [ ! -d "$libs" ]; then
		tmp=$(mktemp -d "$home/fetch.XXXXXX")
		# shellcheck disable=SC2064 # the value of now
		trap "rm -rf '$tmp'" EXIT
		mkdir "$tmp/libs"
		# Maven runs on a copy, so that it never writes beside the pom.
		cp "$here/pom.xml" "$tmp/pom.xml"
		if ! mvn -B -q -f "$tmp/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory="$tmp/libs" >"$tmp/maven.log" 2>&1 </dev/null 9>&-; then
			cat "$tmp/maven.log" >&2
			die "Maven could not fetch Kafka $version"
		fi
		# Without flock another fetch may have been faster: then its directory stays.
		mv -T "$tmp/libs" "$libs" 2>/dev/null || [ -d "$libs" ] || mv "$tmp/libs" "$libs"
		rm -rf "$tmp"
		trap - EXIT
	fi
	exec 9>&-
}

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# pick_port prints a port on which nobody answers. It stays below the ports that systems give to outgoing connections: one of
# those could take a stopped broker's port before its restart. Someone else may still be quicker: start then tries others.
pick_port() {
	local port
	while :; do
		port=$((20000 + ($(od -An -N2 -tu2 /dev/urandom) % 12000)))
		answers "$port" || break
	done
	echo "$port"
}

# running prints the broker's process id if it is alive. A stale DIR/pid may name someone else's process by now: the
# command line has to be our broker's.
running() {
	local pid args
	pid=$(cat "$dir/pid" 2>/dev/null) || return 1
	if [ -d /proc/self ]; then
		args=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
	else
		args=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
	fi
	case $args in *"$dir/server.properties"*) ;; *) return 1 ;; esac
	echo "$pid"
}

# quote makes a word safe to be read by a shell, and leaves the usual ones as they are.
quote() {
	case $1 in
	*[!A-Za-z0-9_./:,@%+=-]* | '') printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf %s "$1" ;;
	esac
}

state() { cat "$dir/state/$1" 2>/dev/null || true; }
keep() { printf '%s\n' "$2" >"$dir/state/$1"; }

make_secrets() {
	random 18 >"$dir/state/store-password"
	random 18 >"$dir/state/sasl-password"
	rm -f "$dir/keystore.p12"
	local log=$dir/keytool.log
	if ! { keytool -genkeypair -alias broker -dname CN=localhost -ext san=dns:localhost,ip:127.0.0.1 -keyalg EC \
		-groupname secp256r1 -validity 3650 -storetype PKCS12 -keystore "$dir/keystore.p12" \
		-storepass:file "$dir/state/store-password" &&
		keytool -exportcert -rfc -alias broker -keystore "$dir/keystore.p12" \
			-storepass:file "$dir/state/store-password" -file "$dir/ca.pem"; } >"$log" 2>&1; then
		cat "$log" >&2
		die "keytool could not make the broker's certificate"
	fi
	rm -f "$log"
	keep sasl yes # last: secrets are all there or made anew
}

write_properties() {
	local client=PLAINTEXT listeners inter_broker=CLIENT
	listeners=CLIENT://127.0.0.1:$(state port)
	if [ -n "$(state sasl)" ]; then
		client=SASL_SSL
		inter_broker=INTERNAL
		listeners=$listeners,INTERNAL://127.0.0.1:$(state internal-port)
	fi
	{
		cat <<EOF
# Written by kafka.sh at every start; change settings by --set.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(state controller-port)
controller.listener.names=CONTROLLER
inter.broker.listener.name=$inter_broker
listeners=$listeners,CONTROLLER://127.0.0.1:$(state controller-port)
advertised.listeners=$listeners
listener.security.protocol.map=CLIENT:$client,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data

# Restarts. A killed broker's registration has to time out before its successor is let in (9 s by default), and a lone voter
# that led before waits out an election (1 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=100

auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
EOF
		if [ -n "$(state sasl)" ]; then
			cat <<EOF

listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location=$dir/keystore.p12
ssl.keystore.password=$(state store-password)
EOF
		fi
		if [ -s "$dir/state/settings" ]; then
			printf '\n# --set; the last of a name counts\n'
			cat "$dir/state/settings"
		fi
	} >"$dir/server.properties"
}

format() {
	local id
	id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c 1-22) # 16 bytes in base64, without what would look like a flag
	# The arguments come by file: on a command line, anyone on this machine could read the password.
	{
		printf '"%s"\n' -cp "$libs/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" kafka.tools.StorageTool \
			format --cluster-id "$id" --config "$dir/server.properties"
		if [ -n "$(state sasl)" ]; then
			printf '"%s"\n' --add-scram "SCRAM-SHA-256=[name=potok,password=$(state sasl-password)]"
		fi
	} >"$dir/state/format.args"
	rm -rf "$dir/data" # of a format that was interrupted
	if ! java -Xshare:auto -XX:TieredStopAtLevel=1 "@$dir/state/format.args" >"$dir/format.log" 2>&1 </dev/null; then
		cat "$dir/format.log" >&2
		die "could not format $dir"
	fi
	rm -f "$dir/state/format.args" "$dir/format.log"
	keep formatted yes
}

# logged says whether the log has a text from byte $1 on. Not grep -q: it would leave early, and tail's broken pipe be a failure.
# shellcheck disable=SC2143
logged() { [ -n "$(tail -c "+$1" "$dir/log" | grep -F "$2")" ]; }

# launch runs the broker and waits until it answers. Returns 0 when it does, 2 when a port was taken by someone else.
launch() {
	local pid began=$SECONDS since
	touch "$dir/log"
	since=$(($(wc -c <"$dir/log") + 1)) # the log goes on over restarts: only what comes from here on is about this one
	# shellcheck disable=SC2086 # java_opts is a list
	nohup java $java_opts "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$libs/*" kafka.Kafka \
		"$dir/server.properties" >>"$dir/log" 2>&1 </dev/null &
	pid=$!
	echo "$pid" >"$dir/pid"
	trap 'kill -KILL "$pid" 2>/dev/null; rm -f "$dir/pid"; exit 1' INT TERM # the broker itself does not hear Ctrl-C
	while :; do
		if ! kill -0 "$pid" 2>/dev/null; then
			rm -f "$dir/pid"
			if logged "$since" 'Address already in use'; then return 2; fi
			tail -c "+$since" "$dir/log" | tail -n 40 >&2
			die "the broker ended while starting; its log is $dir/log"
		fi
		# The line first: someone else's process may answer on the port.
		if logged "$since" 'Kafka Server started' && answers "$(state port)"; then
			trap - INT TERM
			return 0
		fi
		if [ $((SECONDS - began)) -ge "$start_deadline" ]; then
			kill -KILL "$pid" 2>/dev/null || true
			rm -f "$dir/pid"
			tail -n 40 "$dir/log" >&2
			die "the broker did not answer within $start_deadline s; its log is $dir/log"
		fi
		sleep 0.1
	done
}

# watch ends the broker when the process given is gone: a test that is killed cleans up nothing.
watch() {
	(
		broker=$1
		while kill -0 "$2" 2>/dev/null; do
			[ "$(running)" = "$broker" ] || exit 0
			sleep 1
		done
		if [ "$(running)" = "$broker" ]; then kill -KILL "$broker"; fi
	) >/dev/null 2>&1 </dev/null &
}

start() {
	local port='' sasl='' until_exit='' settings=() tries=0 code
	while [ $# -gt 0 ]; do
		case $1 in
		--port) [[ ${2:-} =~ ^[0-9]{1,5}$ ]] || wrong_use "--port wants a number"; port=$2; shift 2 ;;
		--until-exit) [[ ${2:-} =~ ^[0-9]+$ ]] || wrong_use "--until-exit wants a process id"; until_exit=$2; shift 2 ;;
		--set) [[ ${2:-} =~ ^[A-Za-z0-9._-]+= ]] || wrong_use "--set wants KEY=VALUE"; settings+=("$2"); shift 2 ;;
		--sasl) sasl=yes; shift ;;
		*) wrong_use "unknown argument: $1" ;;
		esac
	done
	need_java
	fetch
	libs=$(libs)
	# start removes and writes files here: not in a directory that someone uses for something else.
	[ -d "$dir/state" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is neither empty nor a broker's directory"
	mkdir -p "$dir/state"
	if running >/dev/null; then die "a broker is running in $dir"; fi

	[ ${#settings[@]} -eq 0 ] || printf '%s\n' "${settings[@]}" >>"$dir/state/settings"
	if [ -n "$sasl" ] && [ -z "$(state sasl)" ]; then
		[ -z "$(state formatted)" ] || die "$dir was made without --sasl"
		make_secrets
	fi
	[ -z "$port" ] || keep port "$port"
	[ -n "$(state port)" ] || { keep port "$(pick_port)" && keep port-picked yes; }
	while :; do
		# Only clients know the clients' port; the other two can be new ones at every start.
		keep controller-port "$(pick_port)"
		keep internal-port "$(pick_port)"
		write_properties
		[ -n "$(state formatted)" ] || format
		code=0
		launch || code=$?
		[ "$code" -ne 0 ] || break
		tries=$((tries + 1))
		[ "$tries" -lt 3 ] || die "found no free ports (the clients' port is $(state port)); the log is $dir/log"
		# A port that was promised to clients is kept; it may be free again in a moment.
		if [ -n "$(state port-picked)" ] && [ ! -f "$dir/env" ]; then keep port "$(pick_port)"; else sleep 1; fi
	done
	[ -z "$until_exit" ] || watch "$(cat "$dir/pid")" "$until_exit"

	{
		echo "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$(state port)"
		if [ -n "$(state sasl)" ]; then
			echo "KAFKA_SECURITY_PROTOCOL=SASL_SSL"
			echo "KAFKA_SASL_MECHANISM=SCRAM-SHA-256"
			echo "KAFKA_SASL_USERNAME=potok"
			echo "KAFKA_SASL_PASSWORD=$(state sasl-password)"
			echo "POTOK_TLS_CA_FILE=$(quote "$dir/ca.pem")"
		fi
	} >"$dir/env"
	cat "$dir/env"
}

# end_broker stops the broker in dir with the signal given, and returns when it is gone.
end_broker() {
	local pid began=$SECONDS
	pid=$(running) || { rm -f "$dir/pid"; return 0; }
	kill "-$1" "$pid" 2>/dev/null || true
	while running >/dev/null; do
		if [ $((SECONDS - began)) -ge "$stop_deadline" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
		sleep 0.1
	done
	rm -f "$dir/pid"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
fetch) [ $# -eq 0 ] || wrong_use "fetch takes no arguments"; fetch ;;
start | stop | kill)
	case ${1:-} in '' | -*) wrong_use "$command wants a directory" ;; esac
	if [ "$command" = start ]; then mkdir -p "$1"; fi
	dir=$(cd "$1" 2>/dev/null && pwd) || die "no such directory: $1"
	# A property file and a class path give these a meaning of their own.
	case $dir in *[\\,\"]*) die "a broker's directory can't have a comma, a quote or a backslash in its name: $dir" ;; esac
	shift
	if [ "$command" = start ]; then
		start "$@"
	else
		[ $# -eq 0 ] || wrong_use "$command takes nothing but a directory"
		if [ "$command" = stop ]; then end_broker TERM; else end_broker KILL; fi
	fi
	;;
help | -h | --help) usage ;;
*) wrong_use "unknown command: $command" ;;
esac
