// Follows one channel with the unmodified client and prints what it hears, one JSON per line.
// Arguments: the address, the channel, and `protobuf` for that framing. Standard input: one token
// per line; the first is used to connect, each further one whenever the client asks for a newer one.
import { createInterface } from 'node:readline';

const [address, channel, framing] = process.argv.slice(2);
const isProtobuf = framing === 'protobuf';
const { Centrifuge } = await import(isProtobuf ? 'centrifuge/build/protobuf' : 'centrifuge');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const token = async () => {
  say({ asked: true });
  return (await lines.next()).value;
};

// In Protobuf data is bytes, whatever is in them.
const read = (data) => (isProtobuf ? JSON.parse(new TextDecoder().decode(data)) : data);
const written = (data) => (isProtobuf ? new TextEncoder().encode(JSON.stringify(data)) : data);

const protocol = isProtobuf ? 'protobuf' : 'json';
const client = new Centrifuge(address, { protocol, getToken: token, maxReconnectDelay: 1000 });
client.on('connected', (ctx) => say({ connected: ctx.client }));
client.on('connecting', (ctx) => say({ connecting: ctx.code }));
client.on('disconnected', (ctx) => say({ disconnected: ctx.code }));
const subscription = client.newSubscription(channel, {
  since: { offset: 0, epoch: '' },
  minResubscribeDelay: 100,
});
subscription.on('subscribed', (ctx) =>
  say({ subscribed: true, recovered: ctx.recovered, wasRecovering: ctx.wasRecovering }),
);
subscription.on('unsubscribed', (ctx) => say({ unsubscribed: ctx.code }));
subscription.on('publication', (ctx) => {
  say({ id: read(ctx.data).id, offset: ctx.offset, traceparent: ctx.tags?.traceparent });
  client.send(written({ ack: { channel, offset: ctx.offset } }));
});
subscription.subscribe();
client.connect();
