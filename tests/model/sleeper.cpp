// (a) The I/O thread's sleep (src/dispatch/wake.h, pair(sleep), pair(work), pair(woken)): numbered sleeps, `woken` noted after the write.
// Two producers (P1: ROUNDS requests, P2: ROUNDS), the I/O thread sleeps as often as it likes. The eventfd + poll of the ring is a mutex and a
// condition (the kernel's own locks). A request that nobody fetches is a deadlock: the I/O thread waits for ever.
// PARK=1: P1 may be stopped for ever at each step inside the wake; P2's requests must come through all the same.
//  V=0  the code                                       PASS      V=10 clear with release instead of relaxed     PASS
//  V=1  woken noted before the write                   FAIL (PARK=1)
//  V=2  the waker clears `asleep`, then writes         FAIL (PARK=1)
//  V=3  publish acq_rel, look acquire (no seq_cst)     FAIL      V=4  announce release instead of seq_cst        FAIL
//  V=5  no second look                                 FAIL      V=6  second look relaxed                        FAIL
//  V=7  drain, then clear the work bits                FAIL      V=8  work bit set only if clear (relaxed look)  FAIL
//  V=9  sleeps without numbers (always 1)              FAIL
//  V=11 one-shot poll: eventfd reset before announce   PASS      V=12 eventfd reset after announce               FAIL
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef PARK
#define PARK 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef BOUND
#define BOUND 3
#endif
//@ src/mpsc/lanes.h: sqcq__lane_commit(lane);
//@ src/mpsc/lanes.h: sqcq__or_seq(&lanes->work, bit);
//@ src/mpsc/lanes.h: return sqcq__load_seq(&lanes->work) != 0;
//@ src/mpsc/lanes.h: if (sqcq__load_relaxed(&lanes->work) == 0)
//@ src/mpsc/lanes.h: return sqcq__swap_seq(&lanes->work, 0);
//@ src/dispatch/wake.h: uint64_t sleep = sqcq__load_seq(&sleeper->asleep);
//@ src/dispatch/wake.h: if (sleep == 0 || sqcq__load_acquire(&sleeper->woken) == sleep)
//@ src/dispatch/wake.h: sqcq__sleeper_write(sleeper);
//@ src/dispatch/wake.h: sqcq__store_release(&sleeper->woken,
//@ src/dispatch/wake.h: sqcq__store_seq(&sleeper->asleep, ++sleeper->sleeps);
//@ src/dispatch/wake.h: sqcq__store_relaxed(&sleeper->asleep, 0);
//@ src/engine/turn.c: for (uint64_t work = sqcq__lanes_take_work(&engine->lanes); work != 0; work &= work - 1)
//@ src/engine/turn.c: engine->io.drained += drain_lane(engine, &engine->lanes.lanes[__builtin_ctzll(work)]);
//@ src/engine/wait.c: sqcq__sleeper_announce(&engine->sleeper);
//@ src/engine/wait.c: if (!sqcq__published(engine)) {
//@ src/engine/wait.c: error = sqcq__turn_submit(engine, timeout_ns);
//@ src/engine/wait.c: sqcq__sleeper_clear(&engine->sleeper);
struct T : test_suite<T, 3> {
  atomic<int> work, asleep, woken, tail[2];
  rl::mutex m; rl::condition_variable_any c; int ev;      // ev: guarded by m
  int sleeps;
  void before(){ work($)=0; asleep($)=0; woken($)=0; tail[0]($)=0; tail[1]($)=0; ev=0; sleeps=0; }
  void write_event(){ m.lock($); ev++; c.notify_all($); m.unlock($); }
  bool park(unsigned p){ return PARK && p==0 && rl::rand(2)==0; }
  // false: parked for ever
  bool publish_and_wake(unsigned p){
    tail[p]($).store(tail[p]($).load(mo_relaxed)+1, mo_release);          // commit
    if(park(p)) return false;
#if V==8
    if((work($).load(mo_relaxed)&(1<<p))==0)
#endif
    work($).fetch_or(1<<p, V==3?mo_acq_rel:mo_seq_cst);
    if(park(p)) return false;
    int s=asleep($).load(V==3?mo_acquire:mo_seq_cst);
    if(s==0 || woken($).load(mo_acquire)==s) return true;
    if(park(p)) return false;
#if V==1
    woken($).store(s,mo_release); if(park(p)) return false; write_event();
#elif V==2
    asleep($).store(0,mo_seq_cst); if(park(p)) return false; write_event();
#else
    write_event(); if(park(p)) return false; woken($).store(s,mo_release);
#endif
    return true; }
  int seen[2];
  void drain(){
#if V==7
    int b=work($).load(mo_seq_cst); for(int p=0;p<2;p++) if(b&(1<<p)) seen[p]=tail[p]($).load(mo_acquire);
    if(b) work($).fetch_and(~b,mo_seq_cst);
#else
    if(work($).load(mo_relaxed)==0) return;
    int b=work($).exchange(0,mo_seq_cst);
    for(int p=0;p<2;p++) if(b&(1<<p)) seen[p]=tail[p]($).load(mo_acquire);
#endif
  }
  void thread(unsigned i){
    if(i<2){ for(int r=0;r<ROUNDS;r++) if(!publish_and_wake(i)) return; return; }
    seen[0]=seen[1]=0;
    for(;;){ drain();
      if((PARK || seen[0]==ROUNDS) && seen[1]==ROUNDS) return;
#if V==11
      m.lock($); ev=0; m.unlock($);
#endif
      sleeps++;
      asleep($).store(V==9?1:sleeps, V==4?mo_release:mo_seq_cst);
#if V==12
      if(work($).load(mo_seq_cst)==0){ m.lock($); ev=0; while(ev==0) c.wait(m,$); m.unlock($); }
#elif V==11
      if(work($).load(mo_seq_cst)==0){ m.lock($); while(ev==0) c.wait(m,$); m.unlock($); }
#elif V==5
      { m.lock($); while(ev==0) c.wait(m,$); ev=0; m.unlock($); }
#else
      if(work($).load(V==6?mo_relaxed:mo_seq_cst)==0){ m.lock($); while(ev==0) c.wait(m,$); ev=0; m.unlock($); }
#endif
      asleep($).store(0, V==10?mo_release:mo_relaxed); } }
};
int main(int a,char**v){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("sleeper V=%d PARK=%d ROUNDS=%d BOUND=%d RAND=%d: %s iters=%u\n",V,PARK,ROUNDS,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
