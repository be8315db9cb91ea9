/* A CUDA driver without a card: contexts, memory, streams and graphs as the driver API has them.
 *
 * The computer is described by the environment, read by cuInit:
 *   CUDA_GPUS             one GPU a line: UUID|name|capability|multiprocessors|MiB
 *   CUDA_VISIBLE_DEVICES  as NVIDIA has it, with UUIDs; part of a card (MIG-…) is seen only so
 *   CUDA_FAILS            NAME:N:CODE, from its Nth call on a function gives an error
 * Work waits in its stream until somebody waits for it. Device memory is the host's: who has its
 * address may look into it, as the double of TensorRT does. Calls that nothing of ours uses are made
 * by the build, and say that they are not supported.
 * Source: CUDA Driver API.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED, NO_DEVICE = 100, INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201, ILLEGAL_STATE = 401, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900
};
enum { MOST = 4096, MOST_GPUS = 8, MOST_OPS = 64 };

typedef struct { char uuid[64], name[64]; int major, minor, multiprocessors; size_t bytes; } Gpu;
typedef struct { int gpu, retained, broken; } Context;
typedef struct { void *at; size_t bytes; int gpu; } Block;
typedef struct { void (*call)(void *); void *to; const void *from; size_t bytes; } Op;
typedef struct { Op ops[MOST_OPS]; int n; } Ops;
typedef struct { Ops waiting, recorded; int capturing; } Stream;

static Gpu gpus[MOST_GPUS];
static Context primary[MOST_GPUS];
static int n_gpus, initialised;
static Block device_blocks[MOST], pinned[MOST];
static __thread Context *stack[64];
static __thread int depth;

static Context *current(void) { return depth ? stack[depth - 1] : 0; }

/* Gives the error that CUDA_FAILS wants of a call. Those of kernels (700 to 799) spoil the context. */
static int fails(const char *name) {
  static int calls;
  const char *wanted = getenv("CUDA_FAILS");
  size_t length = strlen(name);
  int nth, code;
  if (!wanted || strncmp(wanted, name, length) || wanted[length] != ':') return SUCCESS;
  if (sscanf(wanted + length, ":%d:%d", &nth, &code) != 2 || ++calls < nth) return SUCCESS;
  if (code / 100 == ILLEGAL_ADDRESS / 100 && current()) current()->broken = code;
  return code;
}

/* What every call that needs a context begins with. */
#define BEGIN                                       \
  do {                                              \
    int code_ = fails(__func__);                    \
    if (code_) return code_;                        \
    if (!current()) return INVALID_CONTEXT;         \
    if (current()->broken) return current()->broken; \
  } while (0)

int cuInit(unsigned flags) {
  int code = fails(__func__);
  const char *text = getenv("CUDA_GPUS"), *visible = getenv("CUDA_VISIBLE_DEVICES");
  char line[256];
  if (code) return code;
  if (flags) return INVALID_VALUE;
  n_gpus = 0;
  while (text && *text && n_gpus < MOST_GPUS) {
    Gpu gpu;
    size_t length = strcspn(text, "\n"), mib;
    snprintf(line, sizeof line, "%.*s", (int)length, text);
    text += length + (text[length] == '\n');
    if (sscanf(line, "%63[^|]|%63[^|]|%d.%d|%d|%zu", gpu.uuid, gpu.name, &gpu.major, &gpu.minor,
               &gpu.multiprocessors, &mib) != 6) continue;
    gpu.bytes = mib << 20;
    if (visible ? strcmp(visible, gpu.uuid) != 0 : strncmp(gpu.uuid, "MIG-", 4) == 0) continue;
    primary[n_gpus].gpu = n_gpus;
    gpus[n_gpus++] = gpu;
  }
  initialised = n_gpus > 0;
  return initialised ? SUCCESS : NO_DEVICE;
}

/* The CUDA version that the driver serves: that of pycuda's headers, unless the box has an older one. */
int cuDriverGetVersion(int *version) {
  const char *told = getenv("CUDA_DRIVER_VERSION");
  *version = told ? atoi(told) : 13000;
  return SUCCESS;
}

int cuDeviceGetCount(int *count) { *count = n_gpus; return initialised ? SUCCESS : NOT_INITIALIZED; }

int cuDeviceGet(int *device, int ordinal) {
  if (!initialised) return NOT_INITIALIZED;
  if (ordinal < 0 || ordinal >= n_gpus) return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}

int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, size, "%s", gpus[device].name);
  return SUCCESS;
}

int cuDeviceComputeCapability(int *major, int *minor, int device) {
  *major = gpus[device].major, *minor = gpus[device].minor;
  return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = gpus[device].bytes; return SUCCESS; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 13: *value = 2040000; break;                      /* CLOCK_RATE [kHz] */
    case 16: *value = gpus[device].multiprocessors; break; /* MULTIPROCESSOR_COUNT */
    case 36: *value = 6251000; break;                      /* MEMORY_CLOCK_RATE [kHz] */
    case 37: *value = 192; break;                          /* GLOBAL_MEMORY_BUS_WIDTH [bit] */
    case 75: *value = gpus[device].major; break;
    case 76: *value = gpus[device].minor; break;
    default: *value = 1;
  }
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(Context **context, int device) {
  int code = fails(__func__);
  if (code) return code;
  if (!primary[device].retained++) primary[device].broken = 0;
  *context = &primary[device];
  return SUCCESS;
}

/* The last release frees what was allocated in it. */
int cuDevicePrimaryCtxRelease_v2(int device) {
  int code = fails(__func__);
  if (code) return code;
  if (!primary[device].retained) return INVALID_CONTEXT;
  if (--primary[device].retained) return SUCCESS;
  for (int n = 0; n < MOST; n++)
    if (device_blocks[n].at && device_blocks[n].gpu == device) {
      free(device_blocks[n].at);
      device_blocks[n].at = 0;
    }
  return SUCCESS;
}

int cuCtxPushCurrent_v2(Context *context) {
  int code = fails(__func__);
  if (code) return code;
  if (depth == 64) return INVALID_VALUE;
  stack[depth++] = context;
  return SUCCESS;
}

int cuCtxPopCurrent_v2(Context **context) {
  int code = fails(__func__);
  if (code) return code;
  if (!depth) return INVALID_CONTEXT;
  Context *popped = stack[--depth];
  if (context) *context = popped;
  return SUCCESS;
}

int cuCtxGetDevice(int *device) { BEGIN; *device = current()->gpu; return SUCCESS; }

static size_t used_bytes(int gpu) {
  size_t bytes = 0;
  for (int n = 0; n < MOST; n++)
    if (device_blocks[n].at && device_blocks[n].gpu == gpu) bytes += device_blocks[n].bytes;
  return bytes;
}

static int allocate(Block *blocks, void **at, size_t bytes, int gpu) {
  for (int n = 0; n < MOST; n++)
    if (!blocks[n].at) {
      if (!(*at = malloc(bytes))) return OUT_OF_MEMORY;
      memset(*at, 0xCD, bytes);
      blocks[n] = (Block){*at, bytes, gpu};
      return SUCCESS;
    }
  return OUT_OF_MEMORY;
}

static int release(Block *blocks, void *at) {
  for (int n = 0; n < MOST; n++)
    if (at && blocks[n].at == at) {
      free(at);
      blocks[n].at = 0;
      return SUCCESS;
    }
  return INVALID_VALUE;
}

static int within(const Block *blocks, const void *at, size_t bytes) {
  for (int n = 0; n < MOST; n++) {
    const char *first = blocks[n].at;
    if (first && first <= (char *)at && (char *)at + bytes <= first + blocks[n].bytes) return 1;
  }
  return 0;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *bytes) {
  BEGIN;
  *bytes = gpus[current()->gpu].bytes;
  *free_bytes = *bytes - used_bytes(current()->gpu);
  return SUCCESS;
}

int cuMemAlloc_v2(void **at, size_t bytes) {
  BEGIN;
  int gpu = current()->gpu;
  if (used_bytes(gpu) + bytes > gpus[gpu].bytes) return OUT_OF_MEMORY;
  return allocate(device_blocks, at, bytes, gpu);
}

int cuMemFree_v2(void *at) { BEGIN; return release(device_blocks, at); }

int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) {
  BEGIN;
  (void)flags;
  return allocate(pinned, at, bytes, -1);
}

int cuMemFreeHost(void *at) { BEGIN; return release(pinned, at); }

int cuStreamCreate(Stream **stream, unsigned flags) {
  BEGIN;
  (void)flags;
  return (*stream = calloc(1, sizeof(Stream))) ? SUCCESS : OUT_OF_MEMORY;
}

int cuStreamDestroy_v2(Stream *stream) { BEGIN; free(stream); return SUCCESS; }

static int enqueue(Stream *stream, Op op) {
  Ops *ops = stream->capturing ? &stream->recorded : &stream->waiting;
  if (ops->n == MOST_OPS) return INVALID_VALUE;
  ops->ops[ops->n++] = op;
  return SUCCESS;
}

/* Asynchronous copies are asked for from and to pinned memory alone: others would wait. */
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, Stream *stream) {
  BEGIN;
  if (!within(pinned, from, bytes)) return INVALID_VALUE;
  return enqueue(stream, (Op){0, to, from, bytes});
}

int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, Stream *stream) {
  BEGIN;
  if (!within(pinned, to, bytes)) return INVALID_VALUE;
  return enqueue(stream, (Op){0, to, from, bytes});
}

/* Stands for a kernel: the double of TensorRT gives it what the kernels of an engine would do. */
int cuLaunchHostFunc(Stream *stream, void (*call)(void *), void *data) {
  BEGIN;
  return enqueue(stream, (Op){call, data, 0, 0});
}

static int done(const Op *op) {
  if (op->call) return op->call(op->to), SUCCESS;
  const void *on_card = within(pinned, op->from, op->bytes) ? op->to : op->from;
  if (!within(device_blocks, on_card, op->bytes)) return current()->broken = ILLEGAL_ADDRESS;
  memcpy(op->to, op->from, op->bytes);
  return SUCCESS;
}

int cuStreamSynchronize(Stream *stream) {
  BEGIN;
  if (stream->capturing) return CAPTURE_UNSUPPORTED;
  Ops ops = stream->waiting;
  stream->waiting.n = 0;
  for (int n = 0; n < ops.n; n++) {
    int code = done(&ops.ops[n]);
    if (code || (code = current()->broken)) return code;
  }
  return SUCCESS;
}

/* For the double of TensorRT: a kernel touched what is not its own. */
void spoil_context(void) { if (current()) current()->broken = ILLEGAL_ADDRESS; }

int is_allocated(const void *at, size_t bytes) { return within(device_blocks, at, bytes); }

int cuStreamBeginCapture_v2(Stream *stream, int mode) {
  BEGIN;
  (void)mode;
  stream->capturing = 1, stream->recorded.n = 0;
  return SUCCESS;
}

int cuStreamEndCapture(Stream *stream, Ops **graph) {
  BEGIN;
  if (!stream->capturing) return ILLEGAL_STATE;
  stream->capturing = 0;
  if (!(*graph = malloc(sizeof(Ops)))) return OUT_OF_MEMORY;
  **graph = stream->recorded;
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(Ops **executable, Ops *graph, unsigned long long flags) {
  BEGIN;
  (void)flags;
  if (!(*executable = malloc(sizeof(Ops)))) return OUT_OF_MEMORY;
  **executable = *graph;
  return SUCCESS;
}

int cuGraphDestroy(Ops *graph) { BEGIN; free(graph); return SUCCESS; }

int cuGraphLaunch(Ops *executable, Stream *stream) {
  BEGIN;
  for (int n = 0; n < executable->n; n++) {
    int code = enqueue(stream, executable->ops[n]);
    if (code) return code;
  }
  return SUCCESS;
}

int cuGraphExecDestroy(Ops *executable) { BEGIN; free(executable); return SUCCESS; }

int cuGetErrorString(int code, const char **text) {
  switch (code) {
    case OUT_OF_MEMORY: *text = "out of memory"; break;
    case NO_DEVICE: *text = "no CUDA-capable device is detected"; break;
    case INVALID_CONTEXT: *text = "invalid device context"; break;
    case ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    case 803: *text = "system has unsupported display driver / cuda driver combination"; break;
    default: *text = "an error that this driver has no words for";
  }
  return SUCCESS;
}
