// Command load opens many connections that speak the Centrifugo client protocol, publishes, and
// measures what arrives: one JSON object on standard output.
//
// Connection i connects with the token, subscribes to channel i modulo -channels, answers pings
// and counts publications. A publication's data carries `sent_ns`, the Unix time in nanoseconds
// at which it was posted. Each publication is waited for before the next one is posted, unless
// -rate says how many to post per second.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

type options struct {
	url, publish, token, channel    string
	connections, messages, channels int
	pad, pid, dialers               int
	rate                            float64
	settle, wait                    time.Duration
}

type client struct {
	delaysNS []int64
}

type result struct {
	Connections  int     `json:"connections"`
	Failed       int     `json:"failed"`
	OpenedS      float64 `json:"opened_s"`
	MemoryKB     float64 `json:"memory_kb_per_connection"`
	Wanted       int64   `json:"wanted"`
	Delivered    int64   `json:"delivered"`
	MessagesPerS float64 `json:"messages_per_s"`
	P50MS        float64 `json:"p50_ms"`
	P99MS        float64 `json:"p99_ms"`
	MaxMS        float64 `json:"max_ms"`
	ProcessorUS  float64 `json:"processor_us_per_message"`
	KernelShare  float64 `json:"kernel_share"`
	ClientUS     float64 `json:"client_us_per_message"`
	FirstMS      float64 `json:"first_ms"`
}

var (
	mark      = []byte(`"sent_ns":`)
	delivered atomic.Int64
)

func parse() options {
	var o options
	flag.StringVar(&o.url, "url", "", "address of the WebSocket")
	flag.StringVar(&o.publish, "publish", "", "address to post publications to; the channel is added")
	flag.StringVar(&o.token, "token", "", "token of every connection")
	flag.StringVar(&o.channel, "channel", "audio:load-%d", "name of a channel; %d is its number")
	flag.IntVar(&o.connections, "n", 1000, "connections")
	flag.IntVar(&o.messages, "m", 0, "publications")
	flag.IntVar(&o.channels, "channels", 1, "channels")
	flag.IntVar(&o.pad, "pad", 200, "bytes of padding in a publication")
	flag.IntVar(&o.pid, "pid", 0, "process of the server, whose memory is read")
	flag.IntVar(&o.dialers, "dialers", 64, "connections that are opened at a time")
	flag.Float64Var(&o.rate, "rate", 0, "publications per second; 0 waits for each one")
	flag.DurationVar(&o.settle, "settle", 2*time.Second, "pause before the memory is read")
	flag.DurationVar(&o.wait, "wait", 20*time.Second, "longest wait for a delivery")
	flag.Parse()
	return o
}

func residentKB(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb
		}
	}
	return 0
}

// processorS returns the processor seconds that a process has used, in steps of 10 ms: in all,
// and in the kernel.
func processorS(pid int) (total, system float64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ = strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, system / 100
}

func open(o options, dialer *websocket.Dialer, number int) (*websocket.Conn, error) {
	conn, _, err := dialer.Dial(o.url, nil)
	if err != nil {
		return nil, err
	}
	channel := o.channel
	if strings.Contains(channel, "%d") {
		channel = fmt.Sprintf(channel, number%o.channels)
	}
	for _, command := range []map[string]any{
		{"id": 1, "connect": map[string]any{"token": o.token}},
		{"id": 2, "subscribe": map[string]any{"channel": channel}},
	} {
		if err := conn.WriteJSON(command); err != nil {
			return nil, err
		}
		_, reply, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if bytes.Contains(reply, []byte(`"error"`)) {
			return nil, errors.New(string(reply))
		}
	}
	return conn, nil
}

func (c *client) read(conn *websocket.Conn) {
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if len(bytes.TrimSpace(frame)) <= 2 {
			if conn.WriteMessage(websocket.TextMessage, []byte("{}")) != nil {
				return
			}
			continue
		}
		now := time.Now().UnixNano()
		for rest := frame; ; {
			at := bytes.Index(rest, mark)
			if at < 0 {
				break
			}
			rest = rest[at+len(mark):]
			end := 0
			for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
				end++
			}
			sent, _ := strconv.ParseInt(string(rest[:end]), 10, 64)
			c.delaysNS = append(c.delaysNS, now-sent)
			delivered.Add(1)
		}
	}
}

func openAll(o options, clients []client) (failed int) {
	dialer := &websocket.Dialer{HandshakeTimeout: time.Minute, ReadBufferSize: 1024, WriteBufferSize: 512}
	slots := make(chan struct{}, o.dialers)
	outcomes := make(chan error, o.connections)
	for i := range clients {
		go func() {
			slots <- struct{}{}
			conn, err := open(o, dialer, i)
			<-slots
			outcomes <- err
			if err == nil {
				clients[i].read(conn)
			}
		}()
	}
	for range clients {
		if err := <-outcomes; err != nil {
			failed++
			if failed <= 3 {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	return failed
}

func post(o options, number int, padding string) error {
	channel := o.channel
	if strings.Contains(channel, "%d") {
		channel = fmt.Sprintf(channel, number%o.channels)
	}
	body := fmt.Sprintf(`{"sent_ns":%d,"pad":"%s"}`, time.Now().UnixNano(), padding)
	response, err := http.Post(o.publish+channel, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("publish: %s", response.Status)
	}
	return nil
}

func await(wanted int64, longest time.Duration) {
	for until := time.Now().Add(longest); delivered.Load() < wanted && time.Now().Before(until); {
		time.Sleep(200 * time.Microsecond)
	}
}

func publishAll(o options, open int) int64 {
	padding := strings.Repeat("x", o.pad)
	each := int64(open / o.channels)
	var wanted int64
	var inFlight sync.WaitGroup
	started := time.Now()
	for number := range o.messages {
		wanted += each
		if o.rate > 0 {
			time.Sleep(time.Until(started.Add(time.Duration(float64(number) / o.rate * 1e9))))
			inFlight.Go(func() {
				if err := post(o, number, padding); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			})
			continue
		}
		if err := post(o, number, padding); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if await(wanted, o.wait); delivered.Load() < wanted {
			// Somebody was cut: what follows would only measure the waiting.
			fmt.Fprintln(os.Stderr, "publications were not delivered to all")
			return wanted
		}
	}
	inFlight.Wait()
	await(wanted, o.wait)
	return wanted
}

// firstMS returns the median time until a publication has reached somebody. A socket that was cut
// before one is left out of it.
func firstMS(clients []client, messages int) float64 {
	var firsts []int64
	for number := range messages {
		first := int64(-1)
		for i := range clients {
			if delays := clients[i].delaysNS; number < len(delays) && (first < 0 || delays[number] < first) {
				first = delays[number]
			}
		}
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	if len(firsts) == 0 {
		return 0
	}
	return float64(firsts[len(firsts)/2]) / 1e6
}

func main() {
	o := parse()
	before := residentKB(o.pid)
	clients := make([]client, o.connections)
	started := time.Now()
	failed := openAll(o, clients)
	r := result{Connections: o.connections - failed, Failed: failed, OpenedS: time.Since(started).Seconds()}
	time.Sleep(o.settle)
	r.MemoryKB = float64(residentKB(o.pid)-before) / float64(max(1, r.Connections))
	started = time.Now()
	usedBefore, kernelBefore := processorS(o.pid)
	ownBefore, _ := processorS(os.Getpid())
	r.Wanted = publishAll(o, r.Connections)
	elapsed := time.Since(started).Seconds()
	used, kernel := processorS(o.pid)
	used, kernel = used-usedBefore, kernel-kernelBefore
	r.Delivered = delivered.Load()
	own, _ := processorS(os.Getpid())
	r.ClientUS = (own - ownBefore) * 1e6 / float64(max(1, r.Delivered))
	r.KernelShare = kernel / max(used, 0.01)
	r.ProcessorUS = used * 1e6 / float64(max(1, r.Delivered))
	r.MessagesPerS = float64(r.Delivered) / elapsed
	var delays []int64
	for i := range clients {
		delays = append(delays, clients[i].delaysNS...)
	}
	slices.Sort(delays)
	at := func(share float64) float64 {
		if len(delays) == 0 {
			return 0
		}
		return float64(delays[int(share*float64(len(delays)-1))]) / 1e6
	}
	if o.channels == 1 && o.rate == 0 {
		r.FirstMS = firstMS(clients, o.messages)
	}
	r.P50MS, r.P99MS, r.MaxMS = at(.5), at(.99), at(1)
	json.NewEncoder(os.Stdout).Encode(r)
}
