// Uploads a file with the unmodified tus-js-client and prints what happens.
// Arguments: JSON of {endpoint, path, headers, name, chunkSize, stopAt, uploadUrl}; stopAt: break
// off when so many bytes are kept; uploadUrl: go on with that upload.
import { createReadStream } from 'node:fs';
import { Upload } from 'tus-js-client';

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const { path, name, stopAt, ...options } = JSON.parse(process.argv[2]);
const upload = new Upload(createReadStream(path), {
  ...options,
  metadata: { filename: name },
  retryDelays: Array(60).fill(1000),
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onChunkComplete: (_, kept) => {
    if (stopAt && kept >= stopAt) {
      upload.abort();
      say({ aborted: kept });
    }
  },
  onAfterResponse: (_, response) => {
    const audio = response.getHeader('Tonearm-Audio-Id');
    say({ status: response.getStatus(), ...(audio && { audio }) });
  },
  onError: (error) => say({ failed: String(error) }),
  onSuccess: () => say({ done: true }),
});
upload.start();
