/* libcuda.so.1 of the tests: there is a driver, and it does what TASKFOLD_FAKE_DRIVER says. NVIDIA's runtime,
 * linked into the real plug-in, asks it and translates; the emulated plug-in only needs it to exist.
 *
 *   TASKFOLD_FAKE_DRIVER   some of "version=11040", "init=100" (a CUresult of cuInit; NVIDIA's runtime wants undocumented
 *                          tables of a driver that starts, so it never gets further), and what cuInit does before it
 *                          answers: "crash" (SIGSEGV), "hang", "noisy" (prints on stdout)
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int Setting(const char* name, int otherwise) {
  const char* text = getenv("TASKFOLD_FAKE_DRIVER");
  const char* found = text ? strstr(text, name) : NULL;
  return found ? atoi(found + strlen(name)) : otherwise;
}

EXPORT int cuInit(unsigned flags) {
  const char* text = getenv("TASKFOLD_FAKE_DRIVER");
  (void)flags;
  if (text && strstr(text, "crash")) raise(SIGSEGV);
  if (text && strstr(text, "noisy")) printf("a driver that prints, and does not end its line");
  while (text && strstr(text, "hang")) pause();
  return Setting("init=", 100);
}
EXPORT int cuDriverGetVersion(int* version) {
  *version = Setting("version=", 13000);
  return 0;
}
EXPORT int cuDeviceGetCount(int* count) {
  *count = 0;
  return 100;
}
/* CUDA_ERROR_NOT_FOUND for all the rest. */
static int Missing(void) { return 500; }

EXPORT int cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t flags, int* status);
EXPORT int cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
int cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t flags, int* status) {
  (void)version;
  (void)flags;
  if (strcmp(symbol, "cuInit") == 0) {
    *function = (void*)cuInit;
  } else if (strcmp(symbol, "cuDriverGetVersion") == 0) {
    *function = (void*)cuDriverGetVersion;
  } else if (strcmp(symbol, "cuDeviceGetCount") == 0) {
    *function = (void*)cuDeviceGetCount;
  } else if (strcmp(symbol, "cuGetProcAddress") == 0) {
    *function = (void*)cuGetProcAddress_v2;
  } else {
    *function = (void*)Missing;
  }
  if (status) *status = 0;
  return 0;
}
