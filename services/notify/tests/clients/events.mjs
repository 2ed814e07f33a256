// Reads an event stream with the unmodified EventSource and prints what it hears.
// Arguments: the address (with a ticket in its query).
import { EventSource } from 'eventsource';

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const source = new EventSource(process.argv[2]);
source.addEventListener('open', () => say({ opened: true }));
source.addEventListener('error', (event) => say({ failed: event.code ?? 0 }));
for (const type of ['message', 'reset', 'unsubscribed', 'disconnect']) {
  source.addEventListener(type, (event) =>
    say({ type, id: JSON.parse(event.data).id, cursor: event.lastEventId }),
  );
}
