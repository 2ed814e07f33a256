// Command peer is the server that notify is measured against: the Centrifuge library, bare.
//
// Every client may subscribe to every channel; POST /publish?channel=NAME publishes the body.
// There is no history and no authentication: it does less than notify does. It prints `ready`
// and how many threads it may run at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"

	"github.com/centrifugal/centrifuge"
)

func main() {
	address := flag.String("address", "127.0.0.1:18000", "where to listen")
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "load"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true },
	}))
	http.HandleFunc("/publish", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err == nil {
			_, err = node.Publish(r.URL.Query().Get("channel"), body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	fmt.Println("ready", runtime.GOMAXPROCS(0))
	log.Fatal(http.ListenAndServe(*address, nil))
}
