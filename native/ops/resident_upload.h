#pragma once
#include <string>
#include <vector>

#include "core/region.h"
#include "device/device_set.h"

namespace taskfold {

/// Stored bytes and where they go on the device.
struct ResidentPiece {
  /// Tensor, for errors.
  std::string name;
  Region from;
  uint8_t* to = nullptr;
};

/// Copies the pieces to the device on all lanes; everything is there when it returns, and nothing is under
/// way any more when it throws and the lease ends. Reports the bytes read.
void UploadPieces(const std::vector<ResidentPiece>& pieces, const LaneLease& lanes, RunControl& control);

/// Copies out.length() bytes of device memory to the host, on all lanes.
void DownloadBytes(const uint8_t* from, const Region& out, const LaneLease& lanes, RunControl& control);

}  // namespace taskfold
