// Where the operational log is written: a descriptor that is never waited for. A core may log, and whoever reads stderr
// may have stopped reading: what it does not take at once is dropped and counted, and told before the next line that it
// takes. Any thread.
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <mutex>
#include <string_view>

namespace scoregate::telemetry {

class line_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit line_sink(int descriptor) : descriptor_(descriptor) {} // not closed

protected:
    void sink_it_(const spdlog::details::log_msg&) override;
    void flush_() override {} // each line is written at once

private:
    bool write(std::string_view line);

    int descriptor_;
    std::uint64_t lost_ = 0; // lines, since the last that was told
    bool torn_ = false;      // what was written last ends inside a line
};

} // namespace scoregate::telemetry
