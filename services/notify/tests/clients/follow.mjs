// Follows one channel with the unmodified client and prints what it hears, one JSON per line.
// Arguments: the address and the channel. Standard input: one token per line; the first is used
// to connect, each further one whenever the client asks for a newer one.
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';

const [address, channel] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const token = async () => {
  say({ asked: true });
  return (await lines.next()).value;
};

const client = new Centrifuge(address, { getToken: token, maxReconnectDelay: 1000 });
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
  say({ id: ctx.data.id, offset: ctx.offset, traceparent: ctx.tags?.traceparent });
  client.send({ ack: { channel, offset: ctx.offset } });
});
subscription.subscribe();
client.connect();
