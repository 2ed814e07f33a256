// Uploads a file with the unmodified tus-js-client and prints what happens.
// Arguments: JSON of {endpoint, path, headers, name, chunkSize, stopAt, uploadUrl, parallelUploads,
// parallelUploadUrls}; stopAt: break off when so many bytes are kept, of one piece where there are
// several; uploadUrl: go on with that upload; parallelUploadUrls: go on with those pieces;
// isStream: send a stream, whose end nobody knows before it comes.
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { Upload } from 'tus-js-client';

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const { path, name, stopAt, parallelUploadUrls, isStream, ...options } = JSON.parse(process.argv[2]);
const upload = new Upload(isStream ? Readable.from(createReadStream(path)) : createReadStream(path), {
  ...options,
  uploadLengthDeferred: isStream,
  metadata: { filename: name },
  retryDelays: Array(60).fill(1000),
  urlStorage: {
    addUpload: async (_, { parallelUploadUrls }) => {
      if (parallelUploadUrls) say({ urls: parallelUploadUrls });
      return 'key';
    },
    findAllUploads: async () => [],
    findUploadsByFingerprint: async () => [],
    removeUpload: async () => {},
  },
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
if (parallelUploadUrls) upload.resumeFromPreviousUpload({ parallelUploadUrls });
upload.start();
