// (c) Stop as a claim (src/mpsc/lanes.c, lane.h; act.c stop()): LANES lanes, two producers (RQ requests each, each tries every lane once), the I/O thread drains, is told to stop, claims.
//  Every accepted request is drained exactly once, none after; the ring's slots are plain memory (a race is a failure).
//  V=0 the code                                              PASS   V=6 publish before unclaim                   PASS
//  V=1 stop by the flag only, no claim                       FAIL   V=2 unclaim relaxed                          FAIL (race)
//  V=3 claimed, but the bit not set again (lanes_again)      FAIL   V=4 I/O claims relaxed                       PASS/FAIL see results
//  V=5 drain, then claim, no drain after                     FAIL   V=7 held lanes are passed over as if taken   FAIL
//  V=8 the work bit by a relaxed RMW                         FAIL?  V=9 sealed although a drain stopped early    -
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef LANES
#define LANES 2
#endif
#ifndef RQ
#define RQ 1
#endif
#ifndef BOUND
#define BOUND 3
#endif
enum { SLOTS = 2, FREE = 0, HELD = 1, STOPPED = 2 };
//@ src/mpsc/lane.h: if (sqcq__load_relaxed(&lane->claim) != SQCQ__CLAIM_FREE)
//@ src/mpsc/lane.h: return sqcq__cas_acquire(&lane->claim, &expected, (uint32_t)as);
//@ src/mpsc/lane.h: sqcq__store_release(&lane->claim, SQCQ__CLAIM_FREE);
//@ src/mpsc/lanes.h: sqcq__lane_commit(lane);
//@ src/mpsc/lanes.h: sqcq__lane_unclaim(lane);
//@ src/mpsc/lanes.h: sqcq__or_seq(&lanes->work, bit);
//@ src/mpsc/lanes.h: return sqcq__swap_seq(&lanes->work, 0);
//@ src/base/spsc.h: ring->head_seen = sqcq__load_acquire(&ring->head);
//@ src/base/spsc.h: sqcq__store_release(&ring->tail, ring->next);
//@ src/base/spsc.h: return sqcq__load_acquire(&ring->tail) - ring->first;
//@ src/base/spsc.h: sqcq__store_release(&ring->head, ring->first);
//@ src/engine/act.c: bool shared = sqcq__lanes_stop(&engine->lanes);
//@ src/engine/act.c: io->sealed = shared && own;
//@ src/engine/act.c: sqcq__turn_drain(engine);
struct T : test_suite<T, 3> {
  atomic<int> claim[LANES], tail[LANES], head[LANES], work, stopping; rl::var<int> slot[LANES][SLOTS];
  int accepted[2], done[2]; bool over; bool late;
  void before(){ work($)=0; stopping($)=0; over=false; late=false; for(int l=0;l<LANES;l++){ claim[l]($)=FREE; tail[l]($)=0; head[l]($)=0; for(int i=0;i<SLOTS;i++) slot[l][i]($)=-1; } for(int i=0;i<2;i++) accepted[i]=done[i]=0; }
  bool try_claim(int l,int as,memory_order mo){ if(claim[l]($).load(mo_relaxed)!=FREE) return false; int z=FREE; return claim[l]($).compare_exchange_strong(z,as,mo,mo_relaxed); }
  void request(int p){
    if(stopping($).load(mo_relaxed)) return;
    for(int k=0;k<LANES;k++){ int l=(p+k)%LANES;
      if(!try_claim(l,HELD,mo_acquire)) continue;
      int t=tail[l]($).load(mo_relaxed); bool room=t-head[l]($).load(mo_acquire)<SLOTS;
      if(room){ slot[l][t%SLOTS]($)=p; tail[l]($).store(t+1,mo_release); accepted[p]++; if(over) late=true; }
#if V==6
      if(room) work($).fetch_or(1<<l,mo_seq_cst);
      claim[l]($).store(FREE,mo_release);
#else
      claim[l]($).store(FREE,V==2?mo_relaxed:mo_release);
      if(room) work($).fetch_or(1<<l,V==8?mo_relaxed:mo_seq_cst);
#endif
      if(room) return; } }
  int h[LANES];
  void drain(){ if(work($).load(mo_relaxed)==0) return; int b=work($).exchange(0,mo_seq_cst);
    for(int l=0;l<LANES;l++) if(b&(1<<l)){ int t; while((t=tail[l]($).load(mo_acquire))!=h[l]){ int p=slot[l][h[l]%SLOTS]($); h[l]++; head[l]($).store(h[l],mo_release); done[p]++; } } }
  void thread(unsigned i){
    if(i<2){ for(int r=0;r<RQ;r++) request(i); return; }
    for(int l=0;l<LANES;l++) h[l]=0;
    drain();
    stopping($).store(1,mo_relaxed);
    int stopped=0; linear_backoff b;
    for(;;){ drain();
#if V==1
      stopped=(1<<LANES)-1;
#else
      for(int l=0;l<LANES;l++) if(!(stopped&(1<<l))){
  #if V==7
        if(claim[l]($).load(mo_relaxed)!=FREE){ stopped|=1<<l; continue; }
  #endif
        if(try_claim(l,STOPPED,V==4?mo_relaxed:mo_acquire)){ stopped|=1<<l;
  #if V!=3
        work($).fetch_or(1<<l,mo_seq_cst);
  #endif
        } }
#endif
#if V!=5
      drain();
#endif
      if(stopped==(1<<LANES)-1) break; b.yield($); }
    over=true; }
  void after(){ RL_ASSERT(!late); for(int i=0;i<2;i++) RL_ASSERT(accepted[i]==done[i]); }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("stop V=%d LANES=%d RQ=%d BOUND=%d RAND=%d: %s iters=%u\n",V,LANES,RQ,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
