package doctor

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/internal/kafka"
)

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// judgeBrokers says how many there are. A lone broker on this machine is for development, and nobody expects it to last.
func judgeBrokers(brokers kadm.BrokerDetails) []Finding {
	var names []string
	local := true
	for _, b := range brokers {
		names = append(names, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
		local = local && loopback(b.Host)
	}
	slices.Sort(names)
	f := Finding{OK, "brokers", strings.Join(names, ","), fmt.Sprintf("%d brokers answer", len(names)), ""}
	switch {
	case len(names) == 1 && local:
		f.Level, f.What = Info, "one broker, on this machine: nothing is replicated"
		f.Advice = "good for development; what must not be lost needs three brokers"
	case len(names) < 3:
		f.Level, f.What = Warning, fmt.Sprintf("%d broker(s): the loss of one loses data or stops all writing", len(names))
		f.Advice = "run at least three"
	}
	return []Finding{f}
}

func judgeSecurity(k kafka.Config) []Finding {
	f := Finding{OK, "security", k.SecurityProtocol, "connections are encrypted", ""}
	remote := ""
	for _, b := range k.BootstrapServers {
		if host, _, err := net.SplitHostPort(b); err == nil && !loopback(host) {
			remote = host
		}
	}
	switch {
	case k.SecurityProtocol == kafka.SSL || k.SecurityProtocol == kafka.SASLSSL:
	case remote == "":
		f.Level, f.What = Info, "connections are not encrypted, and do not leave this machine"
	default:
		f.Level, f.What = Warning, fmt.Sprintf("connections to %s are not encrypted: names and e-mail addresses can be read on the way", remote)
		f.Advice = "set --security-protocol SSL or SASL_SSL, unless the network is nobody else's"
		if k.SecurityProtocol == kafka.SASLPlaintext && k.SASLMechanism == kafka.MechanismPlain {
			f.What += ", and so can the password"
		}
	}
	return []Finding{f}
}

// broker is what a broker says that it speaks: for each API key, the lowest and the highest version.
type broker struct {
	id    int32
	err   error
	guess string
	speak func(key int16) (low, high int16, ok bool)
}

func versionsOf(versions kadm.BrokersApiVersions) (out []broker) {
	for _, v := range versions.Sorted() {
		b := broker{id: v.NodeID, err: v.Err}
		if v.Err == nil {
			b.guess, b.speak = v.VersionGuess(), v.KeyVersions
		}
		out = append(out, b)
	}
	return out
}

func judgeVersions(brokers []broker) (findings []Finding) {
	guesses := map[string]bool{}
	for _, b := range brokers {
		subject := fmt.Sprintf("broker %d", b.id)
		if b.err != nil {
			findings = append(findings, Finding{Error, "versions", subject, "does not answer: " + b.err.Error(), "see to the broker: its partitions have no leader until another takes over"})
			continue
		}
		guesses[b.guess] = true
		if _, high, ok := b.speak(int16(kmsg.Fetch)); !ok || high < 13 {
			findings = append(findings, Finding{Warning, "versions", subject, "is older than Kafka 3.1 and does not name topics by id: a raw topic that is made anew may go unnoticed", "upgrade the brokers"})
		}
		if low, _, ok := b.speak(int16(kmsg.JoinGroup)); !ok || low > 5 {
			findings = append(findings, Finding{Error, "versions", subject, "does not speak the group protocol of Kafka 2.3, which the processors need", "use brokers of Kafka 3.1 to 4.x"})
		}
		if _, _, ok := b.speak(int16(kmsg.DeleteRecords)); !ok {
			findings = append(findings, Finding{Warning, "versions", subject, "can't delete records: Potok's streams will grow for ever", "upgrade the brokers"})
		}
	}
	if len(findings) > 0 {
		return findings
	}
	var list []string
	for g := range guesses {
		list = append(list, g)
	}
	slices.Sort(list)
	return []Finding{{OK, "versions", "brokers", "speak all that Potok needs: " + strings.Join(list, "; "), ""}}
}
