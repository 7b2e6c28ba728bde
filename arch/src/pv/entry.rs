//! From the domain builder's jump to `xtf_main`. The first instructions are in `width::pv::entry`.

use super::platform::Pv;
use super::start_info::{SIF_PRIVILEGED, StartInfo};
use super::{memory, traps};
use crate::boot::{Boot, LoaderLine};
use crate::page::Protection;
use crate::start::start;
use crate::width::pv::ENVIRONMENT;
use crate::{console, layout, shared_info};

/// First Rust code of a PV guest.
pub extern "C" fn pv_start(info: &'static StartInfo) -> ! {
    traps::install();
    memory::map_machine_page(shared_info::window(), info.shared_info.get());
    shared_info::set_mapped();

    let privileged = info.flags & SIF_PRIVILEGED != 0;
    if !privileged {
        // The builder has mapped the ring along with everything else it allocated.
        console::attach_ring(memory::address_of_frame(info.console_mfn.get()), info.console_evtchn);
    }
    let heap = memory::init(info);
    for page in [0, layout::stack_guard()] {
        memory::protect(page, Protection::None).expect("bootstrap pages can be unmapped");
    }
    // Page tables, behind which the heap begins, come after it.
    let module = info.module();
    start(Boot {
        environment: ENVIRONMENT,
        privileged,
        heap,
        module,
        platform: &Pv,
        // SAFETY: the field is an array of CMDLINE_MAX bytes.
        cmdline: unsafe { LoaderLine::copy(info.cmd_line.as_ptr()) },
    })
}
